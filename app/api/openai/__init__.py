"""The OpenAI Images API: what its clients ask becomes an order, and the job an answer in its shapes."""
