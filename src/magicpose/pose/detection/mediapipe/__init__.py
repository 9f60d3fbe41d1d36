"""The embedded detector: MediaPipe's networks on LiteRT."""
