"""Intake: from S3 notifications to jobs and tasks."""
