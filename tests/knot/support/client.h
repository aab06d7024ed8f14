// A client that sends bytes as they are and reads replies strictly.
//
// Every wait has a long deadline that only guards against a hang; a test that runs into it fails
// with what was missing.
#ifndef TESTS_KNOT_SUPPORT_CLIENT_H_
#define TESTS_KNOT_SUPPORT_CLIENT_H_

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>

namespace knot::test {

struct Reply {
  int status = 0;  // 0: the connection ended, or failed, before a whole head; `failure` says how
  std::string head;
  std::map<std::string, std::string> fields;  // names in lower case
  std::string body;
  std::string failure;
};

class Client {
 public:
  // Connects to 127.0.0.1, or [::1]. A receive buffer of `receive_buffer` bytes, where given, makes
  // a slow reader.
  explicit Client(uint16_t port, int receive_buffer = 0, bool ipv6 = false);

  // A connected socket, or -1 where that failed.
  struct Socket {
    int descriptor;
  };
  // Takes over a socket that is connected in another way.
  explicit Client(Socket socket) : socket_(socket.descriptor) {}

  virtual ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool connected() const { return socket_ >= 0; }

  // Sends all bytes. Returns: false where the server has closed.
  virtual bool Send(const std::string& bytes);

  // Sends a GET by HTTP/1.1 and reads its reply.
  Reply Get(const std::string& target);

  // Reads one reply; of one to HEAD only the head.
  Reply Read(bool head_only = false);

  // Reads exactly `size` bytes, or fewer where the connection ends.
  std::string ReadBytes(size_t size);

  // Tells whether the server has closed, with nothing left to be read. Waits for it.
  virtual bool AtEnd();

  void CloseSending();

  int socket() const { return socket_; }

 protected:
  // Waits for bytes, and receives some. Returns: 0 at the end, -1 on an error, or when nothing came
  // for too long.
  virtual ssize_t Receive(char* to, size_t size);

  bool AllRead() const { return received_.empty(); }

 private:
  bool Fill();

  int socket_ = -1;
  std::string received_;
};

}  // namespace knot::test

#endif  // TESTS_KNOT_SUPPORT_CLIENT_H_
