"""An emulator of fal.ai's queue, for trying out, tests and measurements. The service never imports it."""
