"""One training loop, and what it trains: pretraining, finetuning, the probe; their configuration."""
