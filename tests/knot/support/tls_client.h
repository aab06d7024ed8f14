// A client by TLS, and certificates for the server it talks to.
#ifndef TESTS_KNOT_SUPPORT_TLS_CLIENT_H_
#define TESTS_KNOT_SUPPORT_TLS_CLIENT_H_

#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/knot/support/client.h"

namespace knot::test {

// Makes a key and a certificate for it, signed by itself, and writes both in PEM. `names` is a
// subjectAltName as "DNS:a.test,DNS:*.b.test", or empty for none. It is valid from `from_days` to
// `to_days` from now. With a `password` the key is encrypted.
void WriteCertificate(const std::string& certificate, const std::string& key,
                      const std::string& names, int from_days = -1, int to_days = 1,
                      const std::string& password = "");

struct TlsClientOptions {
  std::string host;               // named to the server; empty: none
  std::vector<std::string> alpn;  // offered; none: no offer at all
  int min_version = TLS1_2_VERSION;
  int max_version = TLS1_3_VERSION;
  std::string ciphers;             // of TLS 1.2; empty: the library's
  SSL_SESSION* session = nullptr;  // to resume
  int receive_buffer = 0;          // of the socket, as of Client
};

// The bytes of TLS go through memory, so that a test can have them and send them as it likes.
// What the server's certificate is signed by is not looked at.
class TlsClient : public Client {
 public:
  // Connects to 127.0.0.1 and does the handshake, unless that is left to the test.
  explicit TlsClient(uint16_t port, const TlsClientOptions& options = {}, bool handshake = true);

  // The same on a socket that is connected.
  TlsClient(Socket socket, const TlsClientOptions& options, bool handshake = true);

  ~TlsClient() override;

  // Does the handshake. Returns: whether it succeeded; else failure() is the reason.
  bool Handshake();

  // Tells whether the handshake was done.
  bool ready() const { return ready_; }

  // The reason of OpenSSL for the last failure, SSL_R_..., 0 where there was none.
  int failure() const { return failure_; }

  bool Send(const std::string& bytes) override;

  // Tells whether the server has closed, by a close_notify, with nothing left to be read. Waits for
  // it.
  bool AtEnd() override;

  // Returns: what would be sent for `bytes`: one or more records.
  std::string Encrypt(const std::string& bytes);

  // Returns: the record that tells that nothing follows.
  std::string CloseNotify();

  // Sends bytes as they are.
  bool SendRaw(const std::string& bytes) { return Client::Send(bytes); }

  // Returns: the first name in the server's certificate's subjectAltName.
  std::string ServerName() const;

  // Returns: the protocol chosen by ALPN, or "".
  std::string Protocol() const;

  // Returns: the session to resume; with TLS 1.3 it comes with the first reply. The caller owns it.
  SSL_SESSION* TakeSession() { return SSL_get1_session(ssl_); }

  SSL* ssl() const { return ssl_; }

 protected:
  ssize_t Receive(char* to, size_t size) override;

 private:
  void Begin(const TlsClientOptions& options, bool handshake);
  bool Flush();
  std::string TakeOutput();
  bool Feed();
  bool Continue(int result);

  SSL_CTX* context_ = nullptr;
  SSL* ssl_ = nullptr;
  BIO* in_ = nullptr;   // what the server sent; both belong to ssl_
  BIO* out_ = nullptr;  // what it is to get
  bool ready_ = false;
  int failure_ = 0;
};

}  // namespace knot::test

#endif  // TESTS_KNOT_SUPPORT_TLS_CLIENT_H_
