"""Off the request path: what a fine-tune knew is captured, recorded, packed into prompts, and put to the test."""
