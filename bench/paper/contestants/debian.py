"""The web servers of Debian: each function writes a server's configuration and returns its command line.

All take the same: `work`, a directory for the server's own files; `root`, what it serves; `port` on 127.0.0.1;
`connections`, the most it is to hold at a time; `workers`, processes or threads that serve. `descriptors` is what one
process may have, and what connections leave of it is for files. Each server

- runs in the foreground, without access log, and says on standard error what goes wrong
- keeps connections as long as clients do: no limit of requests a connection where it knows none, an hour of idling
- ends on SIGTERM; h2o only when its clients are gone, so end those first, or end it with SIGINT

and is set to its fast way for static files. What each does with connections that are one too many is its own: most
leave them in the backlog.
"""

import os
import shutil

BACKLOG = 4096  # as the servers of this project have
SPARE_DESCRIPTORS = 128  # logs, listening and waking descriptors, files that are open for a reply only
IDLE_SECONDS = 3600


class Missing(Exception):
  """A program is not installed. The message says which and what would install it."""


def find_program(name, package=None):
  """Finds a system program; servers' own are often outside a user's PATH."""
  found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
  if found is None:
    raise Missing(f"{name} is not installed: apt-get install {package or name}")
  return found


def write(work, name, text):
  path = os.path.join(work, name)
  with open(path, "w", encoding="utf-8") as file:
    file.write(text)
  return path


def share(total, workers):
  """What one of so many workers must hold, if the kernel spreads connections unevenly."""
  return total if workers == 1 else min(total, total * 3 // (2 * workers) + 16)


def _files(descriptors, connections, files):
  """How many open files a process can cache beside its connections."""
  left = descriptors - connections - SPARE_DESCRIPTORS
  if left < 1:
    raise ValueError(f"{connections} connections and {descriptors} descriptors a process leave none for files")
  return min(left, files)


NGINX = """
daemon off;
{user}
worker_processes {workers};
worker_rlimit_nofile {descriptors};
pid {work}/nginx.pid;
error_log stderr;
events {{
  worker_connections {worker_connections};
  use epoll;
}}
http {{
  types {{ text/html html; }}
  access_log off;
  log_not_found off;
  sendfile {sendfile};
  tcp_nopush off;
  tcp_nodelay on;
  open_file_cache max={cached_files} inactive={idle}s;
  open_file_cache_valid {idle}s;
  keepalive_timeout {idle}s;
  keepalive_requests 1000000000;
  client_body_temp_path {work}/nginx-body;
  proxy_temp_path {work}/nginx-proxy;
  fastcgi_temp_path {work}/nginx-fastcgi;
  uwsgi_temp_path {work}/nginx-uwsgi;
  scgi_temp_path {work}/nginx-scgi;
  server {{
    listen 127.0.0.1:{port} backlog={backlog}{reuseport}{tls};
    root {root};
  }}
}}
"""


# Behind an address.
NGINX_TLS = " ssl; ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {}; ssl_certificate_key {}"


def nginx(work, root, port, *, descriptors, connections, files, workers=1, sendfile=True, tls=None):
  """nginx: `workers` processes, each with an epoll loop, listening sockets of its own and a cache of open files.

  `files` is how many there are: as many are kept open, as far as descriptors go. Debian's default is sendfile; without
  it, small files cost less. `tls` are the files of a certificate and its key.
  """
  held = share(connections, workers)
  values = {
      "user": "user root;" if os.geteuid() == 0 else "",  # else the workers could not read a root of ours
      "workers": workers, "descriptors": descriptors, "work": work, "root": root, "port": port, "idle": IDLE_SECONDS,
      "backlog": BACKLOG, "sendfile": "on" if sendfile else "off",
      # Its own connections, to the listening socket and the master, count as well, and it closes idle ones where less
      # than a sixteenth is left.
      "worker_connections": min(held + held // 15 + 16, descriptors), "cached_files": _files(descriptors, held, files),
      "reuseport": " reuseport" if workers > 1 else "",
      "tls": NGINX_TLS.format(*tls) if tls else ""}
  return [find_program("nginx", "nginx-light"), "-p", work, "-e", "stderr", "-c",
          write(work, "nginx.conf", NGINX.format(**values))]


LIGHTTPD = """
server.document-root = "{root}"
server.bind = "127.0.0.1"
server.port = {port}
server.event-handler = "linux-sysepoll"
server.network-backend = "sendfile"
server.max-worker = {max_worker}
server.max-fds = {descriptors}
server.max-connections = {connections}
server.max-keep-alive-requests = 65535
server.max-keep-alive-idle = {idle}
server.max-write-idle = {idle}
server.listen-backlog = {backlog}
server.upload-dirs = ( "{work}" )
server.errorlog-use-syslog = "disable"
mimetype.assign = ( ".html" => "text/html", "" => "application/octet-stream" )
"""


def lighttpd(work, root, port, *, descriptors, connections, workers=1):
  """lighttpd: one process with an epoll loop, or `workers` of them that share the listening socket.

  It closes a connection after 65,535 requests, the most that it can be told, and takes no more connections than half
  its descriptors. Its status is 1 where it ends with connections open. It signals its process group, so it needs one of
  its own.
  """
  held = share(connections, workers)
  if held > descriptors // 2:
    raise ValueError(f"lighttpd takes {descriptors // 2} connections a process with {descriptors} descriptors, "
                     f"not {held}")
  values = {"root": root, "port": port, "descriptors": descriptors, "connections": held,
            "max_worker": workers if workers > 1 else 0, "idle": IDLE_SECONDS, "backlog": BACKLOG, "work": work}
  return [find_program("lighttpd"), "-D", "-f", write(work, "lighttpd.conf", LIGHTTPD.format(**values))]


H2O = """
listen:
  host: 127.0.0.1
  port: {port}
{user}
pid-file: {work}/h2o.pid
num-threads: {workers}
max-connections: {connections}
http1-request-timeout: {idle}
tcp-fastopen: 0
compress: off
hosts:
  default:
    paths:
      /:
        file.dir: {root}
        file.dirlisting: off
        file.etag: off
"""


def h2o(work, root, port, *, descriptors, connections, workers=1):
  """h2o: one process, `workers` threads with an event loop each; files are read and written, not sent by sendfile."""
  if connections + SPARE_DESCRIPTORS > descriptors:
    raise ValueError(f"{connections} connections need more than {descriptors} descriptors")
  values = {"port": port, "work": work, "workers": workers, "connections": connections, "idle": IDLE_SECONDS,
            "root": root, "user": "user: root" if os.geteuid() == 0 else ""}
  return [find_program("h2o"), "-m", "worker", "-c", write(work, "h2o.conf", H2O.format(**values))]


APACHE_MODULES = "/usr/lib/apache2/modules"
APACHE = """
ServerName localhost
ServerRoot {work}
Listen 127.0.0.1:{port}
ListenBacklog {backlog}
PidFile {work}/apache.pid
DefaultRuntimeDir {work}
ErrorLog /dev/stderr
LogLevel crit
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule mime_module {modules}/mod_mime.so
{user}
TypesConfig /dev/null
DocumentRoot {root}
<Directory {root}>
  AllowOverride None
  Options FollowSymLinks
  Require all granted
</Directory>
FileETag None
EnableSendfile On
EnableMMAP Off
StartServers {workers}
ServerLimit {workers}
ThreadLimit {threads}
ThreadsPerChild {threads}
MaxRequestWorkers {all_threads}
MinSpareThreads 1
MaxSpareThreads {all_threads}
MaxConnectionsPerChild 0
AsyncRequestWorkerFactor {factor}
KeepAlive On
KeepAliveTimeout {idle}
MaxKeepAliveRequests 0
Timeout {idle}
"""


def apache_event(work, root, port, *, descriptors, connections, workers=1, threads=256):
  """Apache with mpm_event: `workers` processes, each with a thread that waits for idle connections and `threads` that
  serve a request each, up to its last write that would block.

  A process takes connections up to a multiple of its idle threads, so it takes fewer while it is busy. With all threads
  busy it closes idle connections, whose clients may just be asking: its errors under overload are its own.
  """
  held = share(connections, workers)
  if held + SPARE_DESCRIPTORS > descriptors:
    raise ValueError(f"{held} connections a process need more than {descriptors} descriptors")
  values = {"work": work, "root": root, "port": port, "backlog": BACKLOG, "modules": APACHE_MODULES, "idle": IDLE_SECONDS,
            "workers": workers, "threads": threads, "all_threads": workers * threads,
            "factor": max(2, -(-held // threads)),
            # It refuses to be root, which a root of ours may need; Debian's has www-data.
            "user": "User www-data\nGroup www-data" if os.geteuid() == 0 else ""}
  return [find_program("apache2", "apache2-bin"), "-D", "FOREGROUND", "-d", work, "-f",
          write(work, "apache.conf", APACHE.format(**values))]


def go_file_server(program, root, port, *, connections, workers=1):
  """Go's net/http file server, built by this project: `workers` is GOMAXPROCS, kernel threads that run Go."""
  if not os.path.exists(program):
    raise Missing(f"{program} is not built: apt-get install golang-go, then build again")
  return [program, f"--listen=127.0.0.1:{port}", f"--max_conn={connections}", f"--max_procs={workers}", root]
