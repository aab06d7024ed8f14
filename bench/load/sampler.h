// Draws sessions of the workload: what a user asks for, and when.
//
// A session is what one user asks for over one persistent connection: 5 to 15 requests, each number
// as likely, so 10 in the mean; a part of the sessions (`single`) has one request only.
//
// Files: the directory by Zipf(1) over all directories, the class 0, 1, 2, 3 with 35, 50, 14 and
// 1 %, the file within a class by Zipf(1) over the order 5, 4, 6, 3, 7, 2, 8, 9, 1; all of them
// anew for each request.
//
// Times: requests come in pages. A page is one request and the requests for what is embedded in it,
// as many as a Pareto variable of index 2.43, rounded down, so 2.4 requests in the mean. Within a
// page, the time between a reply and the next request is the active off-time: Weibull of shape
// 1.46, scaled to the paper's mean of 0.343 s. Between pages it is the user's think time: Pareto of
// index 1.5 from 1.15 s on, at most 30 s, which gives the paper's mean of 3.0 s. (Without the cap
// it would begin at 1 s. A user who is silent for longer than servers keep an idle connection is,
// for a server, a new one.) A persistent session without waiting for replies thus takes
// 12.7 s in the mean.
//
// Source: SPECweb99 Release 1.02; Barford and Crovella, SIGMETRICS 1998, table 3, whose Weibull
// parameters 1.46 and 0.382 are shape and scale: only so is the mean (0.346 s) what Pariag et al.
// (EuroSys 2007, 3.2) say it is.
#ifndef BOBBIN_BENCH_LOAD_SAMPLER_H_
#define BOBBIN_BENCH_LOAD_SAMPLER_H_

#include <cstdint>
#include <random>
#include <vector>

namespace load {

inline constexpr int kMaxRequests = 64;  // of a session, whatever it comes from

// One request. Units: off_us, microseconds between the reply before and this request; 0 for a
// session's first.
struct Request {
  uint32_t file;
  uint32_t off_us;
};

using Session = std::vector<Request>;

// Numbers that depend on the seed alone.
class Random {
 public:
  explicit Random(uint64_t seed);
  double Uniform();                // in (0, 1]
  int Between(int low, int high);  // both included
  double Exponential(double mean);
  double Weibull(double shape, double scale);
  double Pareto(double index, double least);

 private:
  std::mt19937_64 engine_;
};

// Ranks 0..count-1, rank r with a probability in proportion to 1 / (r + 1).
class Zipf {
 public:
  explicit Zipf(uint32_t count);
  uint32_t Draw(Random& random) const;

 private:
  std::vector<double> sums_;
};

struct SamplerOptions {
  uint32_t directories = 680;
  double single = 0.3;     // part of the sessions that have one request
  double off_scale = 1.0;  // all off-times are this times as long
};

inline constexpr double kMeanPersistentRequests = 10;
inline constexpr double kMeanActiveOff = 0.343;  // seconds
inline constexpr double kMeanThink = 3.0;        // seconds
inline constexpr double kMaxThink = 30;          // seconds

class Sampler {
 public:
  explicit Sampler(const SamplerOptions& options);

  // Replaces `session` by the next one. Allocates nothing if it has room for 15 requests.
  void Draw(Random& random, Session* session) const;

  // Returns: the mean number of requests of a session.
  double MeanRequests() const;

  // Returns: the mean of the off-times of a session together, estimated. Units: seconds.
  double MeanOffSeconds() const;

 private:
  uint32_t DrawFile(Random& random) const;

  const SamplerOptions options_;
  const Zipf directories_;
  const Zipf files_;
};

}  // namespace load

#endif  // BOBBIN_BENCH_LOAD_SAMPLER_H_
