"""A consumer that makes intake's calls of AWS and does nothing else: the stand-in's ceiling."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from typing import Any
from urllib.parse import unquote_plus

from shared import aws, queues
from shared.containers import SNIFF_BYTES
from shared.settings import Settings

_AT_ONCE = 2


async def drain(settings: Settings, count: int) -> float:
    """Take `count` events off the uploads queue and return how many a second.

    For each: read the first bytes and put a row; then send two messages for each, and delete, in
    batches.
    """
    done = 0
    async with (
        aws.async_client(settings, "sqs") as sqs,
        aws.async_client(settings, "s3") as s3,
        aws.async_client(settings, "dynamodb") as table,
    ):
        url = queues.queue_url(settings, settings.queue("uploads"))
        # Messages of its own go to a queue of its own, so that no worker ever sees them.
        answer = await sqs.create_queue(QueueName="bench-bare")
        aside = answer["QueueUrl"]
        began = time.perf_counter()

        async def take(message: dict[str, Any]) -> dict[str, Any]:
            (record,) = json.loads(message["Body"])["Records"]
            bucket, key = record["s3"]["bucket"]["name"], record["s3"]["object"]["key"]
            first = await s3.get_object(
                Bucket=bucket, Key=unquote_plus(key), Range=f"bytes=0-{SNIFF_BYTES - 1}"
            )
            async with first["Body"] as body:
                await body.read()
            row = {"pk": {"S": f"bare-{uuid.uuid4().hex}"}}
            await table.put_item(TableName=settings.table, Item=row)
            return message

        async def consume() -> None:
            nonlocal done
            while done < count:
                answer = await sqs.receive_message(
                    QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1
                )
                messages = await asyncio.gather(*map(take, answer.get("Messages", [])))
                if messages:
                    bodies = [
                        {"Id": str(at), "MessageBody": message["Body"]}
                        for at, message in enumerate(messages)
                    ]
                    for _ in range(2):
                        await sqs.send_message_batch(QueueUrl=aside, Entries=bodies)
                    entries = [
                        {"Id": str(at), "ReceiptHandle": message["ReceiptHandle"]}
                        for at, message in enumerate(messages)
                    ]
                    await sqs.delete_message_batch(QueueUrl=url, Entries=entries)
                    done += len(messages)

        await asyncio.gather(*(consume() for _ in range(_AT_ONCE)))
        rate = done / (time.perf_counter() - began)
        await sqs.delete_queue(QueueUrl=aside)
    return rate
