"""Two small apps with the bugs that such apps have, and what finds them."""
