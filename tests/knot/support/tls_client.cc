#include "tests/knot/support/tls_client.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <cstdlib>

namespace knot::test {
namespace {

constexpr int64_t kDay = 24 * 60 * 60;

void Require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "tls_client: %s failed\n", what);
  ERR_print_errors_fp(stderr);
  std::abort();
}

void AddNames(X509* certificate, const std::string& names) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension =
      X509V3_EXT_conf_nid(nullptr, &context, NID_subject_alt_name, names.c_str());
  Require(extension != nullptr, "subjectAltName");
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

}  // namespace

void WriteCertificate(const std::string& certificate_file, const std::string& key_file,
                      const std::string& names, int from_days, int to_days,
                      const std::string& password) {
  EVP_PKEY* key = EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256");
  X509* certificate = X509_new();
  Require(key != nullptr && certificate != nullptr, "a key");
  X509_set_version(certificate, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), from_days * kDay);
  X509_gmtime_adj(X509_getm_notAfter(certificate), to_days * kDay);
  X509_set_pubkey(certificate, key);
  X509_NAME* subject = X509_get_subject_name(certificate);
  const unsigned char name[] = "knot test";
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, name, -1, -1, 0);
  X509_set_issuer_name(certificate, subject);
  if (!names.empty()) AddNames(certificate, names);
  Require(X509_sign(certificate, key, EVP_sha256()) > 0, "signing");
  FILE* out = std::fopen(certificate_file.c_str(), "w");
  Require(out != nullptr && PEM_write_X509(out, certificate) == 1, "writing");
  std::fclose(out);
  out = std::fopen(key_file.c_str(), "w");
  const auto* word = reinterpret_cast<const unsigned char*>(password.data());
  Require(out != nullptr &&
              PEM_write_PrivateKey(out, key, password.empty() ? nullptr : EVP_aes_128_cbc(),
                                   password.empty() ? nullptr : word,
                                   static_cast<int>(password.size()), nullptr, nullptr) == 1,
          "writing");
  std::fclose(out);
  X509_free(certificate);
  EVP_PKEY_free(key);
}

TlsClient::TlsClient(uint16_t port, const TlsClientOptions& options, bool handshake)
    : Client(port, options.receive_buffer) {
  Begin(options, handshake);
}

TlsClient::TlsClient(Socket socket, const TlsClientOptions& options, bool handshake)
    : Client(socket) {
  Begin(options, handshake);
}

void TlsClient::Begin(const TlsClientOptions& options, bool handshake) {
  context_ = SSL_CTX_new(TLS_client_method());
  Require(context_ != nullptr, "a context");
  // Else the library would not even offer what the server is to refuse.
  SSL_CTX_set_security_level(context_, 0);
  SSL_CTX_set_min_proto_version(context_, options.min_version);
  SSL_CTX_set_max_proto_version(context_, options.max_version);
  if (!options.ciphers.empty()) {
    Require(SSL_CTX_set_cipher_list(context_, options.ciphers.c_str()) == 1, "ciphers");
  }
  std::string offer;
  for (const std::string& protocol : options.alpn) {
    offer.push_back(static_cast<char>(protocol.size()));
    offer += protocol;
  }
  if (!offer.empty()) {
    SSL_CTX_set_alpn_protos(context_, reinterpret_cast<const unsigned char*>(offer.data()),
                            static_cast<unsigned>(offer.size()));
  }
  ssl_ = SSL_new(context_);
  in_ = BIO_new(BIO_s_mem());
  out_ = BIO_new(BIO_s_mem());
  BIO_set_mem_eof_return(in_, -1);  // more may come
  SSL_set_bio(ssl_, in_, out_);
  SSL_set_connect_state(ssl_);
  if (!options.host.empty()) SSL_set_tlsext_host_name(ssl_, options.host.c_str());
  if (options.session != nullptr) SSL_set_session(ssl_, options.session);
  if (handshake && connected()) Handshake();
}

TlsClient::~TlsClient() {
  // Else the library would not let its session be resumed.
  SSL_set_shutdown(ssl_, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  SSL_free(ssl_);
  SSL_CTX_free(context_);
}

std::string TlsClient::TakeOutput() {
  char* bytes;
  long size = BIO_get_mem_data(out_, &bytes);
  std::string output(bytes, size);
  (void)BIO_reset(out_);
  return output;
}

// Sends what has gathered.
bool TlsClient::Flush() { return Client::Send(TakeOutput()); }

// Receives something for OpenSSL to look at.
bool TlsClient::Feed() {
  char part[65536];
  ssize_t n = Client::Receive(part, sizeof part);
  // An end that no close_notify announced is one that OpenSSL is to see.
  if (n == 0) BIO_set_mem_eof_return(in_, 0);
  if (n < 0) return false;
  return n == 0 || BIO_write(in_, part, static_cast<int>(n)) == n;
}

// Tells whether a call that answered `result` is to be made again.
bool TlsClient::Continue(int result) {
  int error = SSL_get_error(ssl_, result);
  bool flushed = Flush();
  if (error == SSL_ERROR_WANT_READ) return flushed && Feed();
  failure_ = error == SSL_ERROR_ZERO_RETURN ? 0 : ERR_GET_REASON(ERR_peek_error());
  ERR_clear_error();
  return false;
}

bool TlsClient::Handshake() {
  int result;
  do {
    result = SSL_do_handshake(ssl_);
  } while (result != 1 && Continue(result));
  ready_ = result == 1 && Flush();
  return ready_;
}

std::string TlsClient::Encrypt(const std::string& bytes) {
  Flush();
  SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()));
  return TakeOutput();
}

std::string TlsClient::CloseNotify() {
  Flush();
  SSL_shutdown(ssl_);
  return TakeOutput();
}

bool TlsClient::Send(const std::string& bytes) { return ready_ && SendRaw(Encrypt(bytes)); }

ssize_t TlsClient::Receive(char* to, size_t size) {
  int result;
  do {
    result = SSL_read(ssl_, to, static_cast<int>(size));
  } while (result <= 0 && Continue(result));
  Flush();
  if (result > 0) return result;
  return (SSL_get_shutdown(ssl_) & SSL_RECEIVED_SHUTDOWN) != 0 && failure_ == 0 ? 0 : -1;
}

bool TlsClient::AtEnd() {
  char byte;
  return AllRead() && Receive(&byte, 1) == 0;
}

std::string TlsClient::ServerName() const {
  X509* certificate = SSL_get0_peer_certificate(ssl_);
  if (certificate == nullptr) return "";
  auto* names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  std::string result;
  if (sk_GENERAL_NAME_num(names) > 0) {
    const ASN1_STRING* name = sk_GENERAL_NAME_value(names, 0)->d.dNSName;
    result.assign(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name)),
                  ASN1_STRING_length(name));
  }
  GENERAL_NAMES_free(names);
  return result;
}

std::string TlsClient::Protocol() const {
  const unsigned char* name;
  unsigned size;
  SSL_get0_alpn_selected(ssl_, &name, &size);
  return std::string(reinterpret_cast<const char*>(name), size);
}

}  // namespace knot::test
