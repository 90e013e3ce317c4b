"""The node as acceptor with one thread per association: the listener, and what its connections become."""
