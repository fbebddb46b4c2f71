"""The theory of diffusion in torch alone: schedules, degradations, samplers, priors and more."""
