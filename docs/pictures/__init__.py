"""The pictures of README and the site: each is made from what the program prints now (`make pictures`)."""
