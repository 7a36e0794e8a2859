"""What looks like a secret is taken out of a log before it is kept anywhere.

A net with holes: a program must not print secrets. Taken out are
- what follows a name with password, passwd, pwd, secret, token, credential, api key, access key,
  private key or authorization, up to the end of the value;
- the password in a URL, as in scheme://user:password@host;
- JSON Web Tokens, AWS access keys and PEM private keys, also one whose beginning was cut off.
"""

import re

REDACTED = "[redacted]"

_NAMED = re.compile(
    r"""(?ix)
    ( (?: passw(?:or)?d | pwd | secret | token | credential
      | (?: api | access | private ) [_-]? key | authorization ) [\w-]{0,40}
      ["']? \s{0,8} [=:] \s{0,8} (?: (?: bearer | basic ) \s{1,8} )? )
    (?: "[^"\n]*" | '[^'\n]*' | [^\s,;&}\])]+ )
    """
)
_OTHERS = (
    (re.compile(r"(?i)(\b[a-z][a-z0-9+.-]{0,30}://[^\s:/@]{0,256}:)[^\s@/]{1,256}@"), r"\1%s@"),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?"), "%s"),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), "%s"),
    (re.compile(r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END|\Z)"), "%s"),
    (re.compile(r"(?s)\A.*?-----END [A-Z ]*PRIVATE KEY"), "%s"),
)


def redact(text: str) -> str:
    for pattern, replacement in _OTHERS:
        text = pattern.sub(replacement.replace("%s", REDACTED), text)
    return _NAMED.sub(rf"\1{REDACTED}", text)
