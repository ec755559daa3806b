"""Samplers against data whose exact denoiser is known."""
