"""Conversations over TCP, each stage by itself: connect, TLS, HTTP, WebSocket; names and DNS; which targets are allowed."""
