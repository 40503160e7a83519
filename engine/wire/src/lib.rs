//! Bytes and their meaning: HTTP/1.1 heads, chunks, URIs and the PROXY protocol, without I/O.
