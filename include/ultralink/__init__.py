"""UltraLink: multilingual fine-tuning data, grounded on Wikipedia, built by durable row programs."""

__version__ = "0.1.0"
