// The certificates that TLS connections are served with, and everything else they share.
#ifndef KNOT_TLS_CONTEXT_H_
#define KNOT_TLS_CONTEXT_H_

#include <openssl/types.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace knot {

enum class TlsVersion : uint8_t { k12, k13 };

// A certificate with its chain, and its private key: files in PEM.
struct TlsFiles {
  std::string certificate;
  std::string key;
};

struct TlsSettings {
  std::vector<TlsFiles> files;  // the first is for clients that name no host, or none of ours
  TlsVersion min = TlsVersion::k12;
  bool kernel = true;  // encrypt in the kernel; TlsContext asks whether it can
};

// Certificates as they were loaded together. Immutable.
class TlsCertificates {
 public:
  // Errors: InvalidArgument, one line that names the file and what is wrong with it; never a word
  // of what is in it.
  static absl::StatusOr<std::shared_ptr<const TlsCertificates>> Load(const TlsSettings& settings);

  TlsCertificates(const TlsCertificates&) = delete;
  TlsCertificates& operator=(const TlsCertificates&) = delete;
  ~TlsCertificates();

  // Returns: that of the certificate for `host`, or the first. RFC 6125, 6.4: names of the
  // certificate's subjectAltName, compared without regard to case, of which `*.` stands for one
  // label. Where two certificates have a name, the one given first has it.
  SSL_CTX* For(absl::string_view host) const;
  SSL_CTX* Default() const { return contexts_[0]; }

  // Returns: a line for people where a certificate is not valid now, else "".
  const std::string& warning() const { return warning_; }

 private:
  TlsCertificates() = default;
  absl::Status Add(const TlsFiles& files, const TlsSettings& settings);
  void AddNames(const X509* certificate, SSL_CTX* context);

  std::vector<SSL_CTX*> contexts_;
  absl::flat_hash_map<std::string, SSL_CTX*> by_name_;  // in lower case
  std::string warning_;
};

// What a server's TLS connections are made from.
//
// X1. A connection keeps the certificates that were there when it came.
// X2. After a Read that failed, everything is as it was before.
// X3. A session can be resumed after a Use, and with another process of the same server: the
//     keys of tickets are made once, and live as long as the server does.
// X4. A session is resumed only for the host that it was made for, compared without regard to
//     case, or for none where none was named (RFC 6066, 3).
class TlsContext {
 public:
  // Errors: as TlsCertificates::Load.
  static absl::StatusOr<std::unique_ptr<TlsContext>> Load(const TlsSettings& settings);

  // Reads the files of `settings`, which may be others than at the start; whether the kernel
  // encrypts stays as it is.
  //
  // Blocks:  this thread, for as long as reading the files takes. Callers: any thread.
  // Errors:  as TlsCertificates::Load.
  absl::StatusOr<std::shared_ptr<const TlsCertificates>> Read(const TlsSettings& settings) const;

  // Gives `certificates` to connections that come after it. Callers: any thread.
  void Use(std::shared_ptr<const TlsCertificates> certificates);

  std::shared_ptr<const TlsCertificates> Current() const;

  // Tells whether connections are encrypted by the kernel: it is wanted, and there.
  bool kernel() const { return kernel_; }

 private:
  explicit TlsContext(bool kernel) : kernel_(kernel) {}

  const bool kernel_;
  mutable std::mutex mutex_;
  std::shared_ptr<const TlsCertificates> current_;
};

// Makes the keys of tickets, which processes forked later have in common. Requires: called before
// the first TlsContext is loaded, while there is one thread.
void MakeTicketKeys();

}  // namespace knot

#endif  // KNOT_TLS_CONTEXT_H_
