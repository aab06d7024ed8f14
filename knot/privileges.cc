#include "knot/privileges.h"

#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace knot {
namespace {

absl::Status None(absl::string_view text, absl::string_view what, absl::string_view name) {
  return absl::InvalidArgumentError(
      absl::StrCat("--user=", text, ": there is no ", what, " ", name));
}

// getgrouplist(3) says how many there are where it has no room for them.
std::vector<gid_t> GroupsOf(const char* name, gid_t own) {
  std::vector<gid_t> groups(16);
  int count = static_cast<int>(groups.size());
  while (getgrouplist(name, own, groups.data(), &count) < 0) groups.resize(count);
  groups.resize(count);
  return groups;
}

}  // namespace

absl::StatusOr<Identity> FindIdentity(absl::string_view text) {
  size_t colon = text.find(':');
  std::string name(text.substr(0, colon));
  Identity identity;
  uint32_t number;
  if (const passwd* entry = getpwnam(name.c_str())) {
    identity.user = entry->pw_uid;
    identity.group = entry->pw_gid;
    if (colon == absl::string_view::npos) identity.groups = GroupsOf(entry->pw_name, entry->pw_gid);
  } else if (absl::SimpleAtoi(name, &number)) {
    identity.user = number;
    if (colon == absl::string_view::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("--user=", text, ": a number needs a group, as in ", text, ":", text));
    }
  } else {
    return None(text, "user", name);
  }
  if (colon != absl::string_view::npos) {
    std::string group(text.substr(colon + 1));
    if (const ::group* entry = getgrnam(group.c_str())) {
      identity.group = entry->gr_gid;
    } else if (absl::SimpleAtoi(group, &number)) {
      identity.group = number;
    } else {
      return None(text, "group", group);
    }
    identity.groups = {identity.group};
  }
  if (identity.user == 0 || identity.user == static_cast<uid_t>(-1) ||
      identity.group == static_cast<gid_t>(-1)) {
    return absl::InvalidArgumentError(absl::StrCat("--user=", text, ": must not be root"));
  }
  return identity;
}

void ForbidNewPrivileges() { prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }

absl::Status ChangeRoot(const std::string& directory) {
  if (chdir(directory.c_str()) == 0 && chroot(".") == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, absl::StrCat("--chroot=", directory, ": cannot be the root"));
}

absl::Status Become(const Identity& identity) {
  bool same = getuid() == identity.user && geteuid() == identity.user &&
              getgid() == identity.group && getegid() == identity.group;
  if (same && getuid() != 0) return absl::OkStatus();
  if (geteuid() != 0) return absl::PermissionDeniedError("--user: only root can become another");
  bool changed = setgroups(identity.groups.size(), identity.groups.data()) == 0 &&
                 setresgid(identity.group, identity.group, identity.group) == 0 &&
                 setresuid(identity.user, identity.user, identity.user) == 0;
  if (!changed) return absl::ErrnoToStatus(errno, "--user: cannot become that user");
  if (setuid(0) == 0 || seteuid(0) == 0) {
    return absl::InternalError("--user: root's rights were not given up");
  }
  return absl::OkStatus();
}

}  // namespace knot
