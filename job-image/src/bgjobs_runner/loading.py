"""From names to a class that may run: the pod's own check, after those of the operator."""

import importlib
import sys

from bgjobs_runner import Refused


def load(class_path: str, method: str) -> type:
    """Import the class and return it if it opts in and defines the public method.

    Raises Refused otherwise, and whatever the job's module raises while it is imported.
    """
    module_name, _, class_name = class_path.rpartition(".")
    if not module_name or not all(part.isidentifier() for part in class_path.split(".")):
        raise Refused(f"{class_path!r} is no dotted path such as shop.jobs.SyncStock")
    if module_name.partition(".")[0] in sys.stdlib_module_names:
        # It cannot opt in, and importing it might already do something.
        raise Refused(f"{class_path} belongs to Python's standard library, which holds no jobs")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or "a module"
        if f"{module_name}.".startswith(f"{missing}."):
            raise Refused(
                f"{class_path} is not here: there is no module {missing}. In an image, copy it to"
                " /jobs or name another image in the runtime; on a laptop, run this in the folder"
                f" that holds {missing}"
            ) from None
        raise Refused(
            f"{class_path} needs {missing}, which is not in this image. Install it there"
        ) from error
    cls = vars(module).get(class_name)
    if not isinstance(cls, type):
        raise Refused(f"module {module_name} has no class {class_name}")
    require_opt_in(cls, method)
    return cls


def opts_in(cls: type) -> bool:
    return "__bgjob__" in vars(cls)


def require_opt_in(cls: type, method: str) -> None:
    """Raise Refused unless the class itself opts in and itself defines the public method."""
    if not opts_in(cls):
        raise Refused(f"{cls.__qualname__} does not opt in: put @bgjobs_runner.job above it")
    if method.startswith("_"):
        raise Refused(f"{cls.__qualname__}.{method} is private: only public methods can run")
    if method not in vars(cls):
        raise Refused(
            f"{cls.__qualname__} defines no method {method} (inherited ones do not count)"
        )
    if not callable(found := getattr(cls, method)) or isinstance(found, type):
        raise Refused(f"{cls.__qualname__}.{method} is no method")
