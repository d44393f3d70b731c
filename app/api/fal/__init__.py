"""fal's own API, as fal's clients speak it: what they ask becomes an order, and a job fal's answer. See docs/fal.md."""
