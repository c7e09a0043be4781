"""Synthetic halls: real ICE, DTLS and SRTP against a media node, cheap enough that 187 run beside it."""
