"""Wires the service together, and runs it."""

import logging
import threading
import time
from collections.abc import Mapping

import uvicorn

from academic.service.accounts import Throttle
from academic.service.outbox import OUTBOX
from academic.service.settings import Settings
from academic.service.tracking import last_contact, track
from academic.store.database import connect
from academic.web.app import create
from academic.web.context import Service
from bgjobs.client import Client


def serve(environment: Mapping[str, str]) -> None:
    """Until it is asked to end. Raises ValueError where the settings are wrong."""
    settings = Settings.from_environment(environment)
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    engine = connect(settings.database_url)
    jobs = Client(namespace=settings.namespace)

    def again(name: str) -> None:
        jobs.handle(name).retry()

    contact, stop = last_contact(engine), threading.Event()
    service = Service(
        engine=engine,
        contact=contact,
        retry=again,
        throttle=Throttle(time.monotonic),
        dashboard_url=settings.dashboard_url,
    )
    # Each in a thread of its own: whatever the API server does, no page waits for it.
    threads = [
        threading.Thread(target=OUTBOX.drain, args=(engine, jobs, stop), daemon=True),
        threading.Thread(
            target=track, args=(engine, settings.namespace, contact, again, stop), daemon=True
        ),
    ]
    for thread in threads:
        thread.start()
    uvicorn.run(
        create(service),
        host=settings.http_host,
        port=settings.http_port,
        log_config=None,
        access_log=False,
        server_header=False,
    )
    stop.set()
