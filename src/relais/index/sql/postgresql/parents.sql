-- PostgreSQL's spelling of what it says in another way. Its indexes look after themselves.

-- name: add_trigrams

-- name: remove_trigrams
