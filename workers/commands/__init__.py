"""The commands of `guardian`, by what they are about; `workers.cli` puts them together."""
