"""Labels and annotations of child Jobs and their pods."""

UID = "bgjobs.dev/uid"
RUN = "bgjobs.dev/run"
ATTEMPT = "bgjobs.dev/attempt"

# The Job controller's own, on the pods of every Job.
JOB_NAME = "batch.kubernetes.io/job-name"
JOB_UID = "batch.kubernetes.io/controller-uid"

NAME = "bgjobs.dev/name"
CLASS = "bgjobs.dev/class"
METHOD = "bgjobs.dev/method"
