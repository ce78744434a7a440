"""Transport: bytes on a connection into requests, answers into bytes. HTTP/1.1 and HTTP/2; knows no models."""
