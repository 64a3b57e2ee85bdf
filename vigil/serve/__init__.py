"""The server: many live sessions over one model, on sockets that may come and go."""
