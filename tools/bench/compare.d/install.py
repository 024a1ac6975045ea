"""Installs the peers: Debian packages by apt-get, the libraries of the Node.js servers by npm."""

import os
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))

# What is looked for, and the Debian 12 package that has it. Debian keeps servers outside of a user's PATH.
PROGRAMS = {
    "nginx": "nginx",
    "nats-server": "nats-server",
    "redis-server": "redis-server",
    "node": "nodejs",
    "npm": "npm",
    "taskset": "util-linux",
}
NCHAN_MODULE = "/usr/lib/nginx/modules/ngx_nchan_module.so"
# apt-get starts the services of what it installs, unless this says no.
POLICY = "/usr/sbin/policy-rc.d"
AS_ROOT = """
set -e
if [ ! -e {policy} ]; then
  printf '#!/bin/sh\\nexit 101\\n' > {policy}
  chmod +x {policy}
  trap 'rm -f {policy}' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -q update
apt-get -qy install --no-install-recommends {packages}
"""


class CannotInstall(Exception):
    """What is missing and what to do about it."""


def program(name):
    """The path of a program, or None."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin")


def missing_packages():
    packages = [package for name, package in PROGRAMS.items() if program(name) is None]
    if not os.path.exists(NCHAN_MODULE):
        packages.append("libnginx-mod-nchan")
    return packages


def install_missing(say):
    """Installs what is not there yet. Raises CannotInstall."""
    packages = missing_packages()
    if packages:
        say(f"installing Debian packages with apt-get, which needs root: {' '.join(packages)}")
        script = AS_ROOT.format(policy=POLICY, packages=" ".join(packages))
        as_root = [] if os.geteuid() == 0 else ["sudo"]
        if as_root and program("sudo") is None:
            raise CannotInstall(f"there is no sudo; as root, run: apt-get install {' '.join(packages)}")
        if subprocess.run([*as_root, "sh", "-c", script]).returncode != 0 or missing_packages():
            raise CannotInstall(f"apt-get could not install: {' '.join(packages)} (names of Debian 12)")
    if not os.path.isdir(os.path.join(HERE, "node_modules", "socket.io")):
        say("installing the libraries of the Node.js servers with npm, into tools/bench/compare.d/node_modules")
        if subprocess.run([program("npm"), "ci", "--no-audit", "--no-fund"], cwd=HERE).returncode != 0:
            raise CannotInstall("npm ci failed in tools/bench/compare.d; check the network")


def versions():
    """Names and versions of all peers."""
    found = {}

    def first_line(*command):
        output = subprocess.run(command, capture_output=True, text=True)
        return (output.stdout + output.stderr).strip().splitlines()[0]

    found["nginx"] = first_line(program("nginx"), "-v").rsplit("/", 1)[-1]
    found["Nchan"] = first_line("dpkg-query", "-W", "-f=${Version}", "libnginx-mod-nchan")
    found["nats-server"] = first_line(program("nats-server"), "--version").rsplit(" ", 1)[-1]
    found["Redis"] = first_line(program("redis-server"), "--version").split("v=")[1].split()[0]
    found["Node.js"] = first_line(program("node"), "--version")
    for library in ("ws", "ioredis", "socket.io"):
        script = f"console.log(require('./node_modules/{library}/package.json').version)"
        found[library] = subprocess.run([program("node"), "-e", script], cwd=HERE, capture_output=True,
                                        text=True).stdout.strip()
    return found
