"""A certificate authority of the cluster's own, and what it signs."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = datetime.timedelta(days=3650)
# Certificates start a day early, so that a clock set back a little does not refuse them.
_BACKDATED = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, as PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Authority:
    """Signs the certificates of one cluster."""

    certificate: Path
    _signed: x509.Certificate
    _key: ec.EllipticCurvePrivateKey


def new_authority(directory: Path) -> Authority:
    """Make a new authority and write its certificate; its key is never written."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("bgjobs-local")
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    signed = (
        _builder(name, name, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = directory / "ca.crt"
    path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    return Authority(path, signed, key)


def server_pair(
    authority: Authority, path: Path, *, dns: Sequence[str] = (), addresses: Sequence[str] = ()
) -> Pair:
    """A certificate for a server that is reached by these names and IPv4 addresses."""
    names = x509.SubjectAlternativeName(
        [
            *map(x509.DNSName, dns),
            *(x509.IPAddress(IPv4Address(address)) for address in addresses),
        ]
    )
    return _pair(authority, path, _name(path.name), ExtendedKeyUsageOID.SERVER_AUTH, names)


def client_pair(authority: Authority, path: Path, *, user: str, group: str | None = None) -> Pair:
    """A certificate that signs a Kubernetes user (with a group) in."""
    return _pair(authority, path, _name(user, group), ExtendedKeyUsageOID.CLIENT_AUTH)


def signing_key(path: Path) -> Path:
    """A bare private key, to sign and check service account tokens with."""
    _write_key(path, ec.generate_private_key(ec.SECP256R1()))
    return path


def _pair(
    authority: Authority,
    path: Path,
    subject: x509.Name,
    usage: x509.ObjectIdentifier,
    names: x509.SubjectAlternativeName | None = None,
) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = authority._signed
    builder = (
        _builder(subject, issuer.subject, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority._key.public_key()),
            critical=False,
        )
    )
    if names:
        builder = builder.add_extension(names, critical=False)
    signed = builder.sign(authority._key, hashes.SHA256())
    pair = Pair(path.with_suffix(".crt"), path.with_suffix(".key"))
    pair.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    _write_key(pair.key, key)
    return pair


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + _LIFETIME)
    )


def _name(common_name: str, organization: str | None = None) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(parts)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
