"""What people see: the study list, study pages, the node's state, and OHIF. Knows verbs, no index or files.

Server-rendered; scripts only add to it. Nothing is loaded from elsewhere and no page carries a script or style of its
own, so that the Content Security Policy can forbid both.
"""
