"""The command line: what people and scripts touch. Stdout is data, stderr is talk."""
