"""The operators' console: a JSON API and pages without a build step."""
