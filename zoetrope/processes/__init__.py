"""Work in several processes: who leads, how they meet, and what ends them."""
