"""Labels and annotations of child Jobs and their pods."""

UID = "bgjobs.dev/uid"
RUN = "bgjobs.dev/run"
ATTEMPT = "bgjobs.dev/attempt"

NAME = "bgjobs.dev/name"
CLASS = "bgjobs.dev/class"
METHOD = "bgjobs.dev/method"
