"""The demo's upstream: the flights and the weather of 2013."""
