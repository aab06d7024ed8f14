#include "bench/load/sampler.h"

#include <math.h>

#include <algorithm>

#include "bench/load/file_set.h"

namespace load {
namespace {

constexpr int kLeastPersistent = 5;
constexpr int kMostPersistent = 15;
constexpr double kEmbeddedIndex = 2.43;
constexpr double kWeibullShape = 1.46;
constexpr double kParetoIndex = 1.5;
// Mean of min(Pareto(1.5, k), 30): 3 k - 2 k^1.5 / sqrt(30), which is 3.0 for this k.
constexpr double kParetoLeast = 1.15013;
constexpr uint32_t kFileOrder[kFilesPerClass] = {5, 4, 6, 3, 7, 2, 8, 9, 1};

double WeibullScale() { return kMeanActiveOff / tgamma(1 + 1 / kWeibullShape); }

uint32_t Microseconds(double seconds) {
  return static_cast<uint32_t>(std::min(lround(seconds * 1e6), long{UINT32_MAX}));
}

}  // namespace

Random::Random(uint64_t seed) : engine_(seed) {}

double Random::Uniform() { return static_cast<double>((engine_() >> 11) + 1) * 0x1p-53; }

int Random::Between(int low, int high) {
  int offset = static_cast<int>((high - low + 1) * (1 - Uniform()));
  return low + std::min(offset, high - low);
}

double Random::Exponential(double mean) { return -mean * log(Uniform()); }

double Random::Weibull(double shape, double scale) {
  return scale * pow(-log(Uniform()), 1 / shape);
}

double Random::Pareto(double index, double least) { return least * pow(Uniform(), -1 / index); }

Zipf::Zipf(uint32_t count) {
  double sum = 0;
  sums_.reserve(count);
  for (uint32_t rank = 1; rank <= count; ++rank) sums_.push_back(sum += 1.0 / rank);
}

uint32_t Zipf::Draw(Random& random) const {
  double at = random.Uniform() * sums_.back();
  auto found = std::lower_bound(sums_.begin(), sums_.end(), at);
  return static_cast<uint32_t>(std::min(found, sums_.end() - 1) - sums_.begin());
}

Sampler::Sampler(const SamplerOptions& options)
    : options_(options), directories_(options.directories), files_(kFilesPerClass) {}

uint32_t Sampler::DrawFile(Random& random) const {
  uint32_t directory = directories_.Draw(random);
  double at = random.Uniform();
  uint32_t file_class = at <= 0.35 ? 0 : at <= 0.85 ? 1 : at <= 0.99 ? 2 : 3;
  return FileIndex(directory, file_class, kFileOrder[files_.Draw(random)]);
}

void Sampler::Draw(Random& random, Session* session) const {
  static const double kScale = WeibullScale();
  session->clear();
  const bool single = random.Uniform() <= options_.single;
  const int count = single ? 1 : random.Between(kLeastPersistent, kMostPersistent);
  double embedded = 0;  // still to be asked for, of the page at hand
  for (int i = 0; i < count; ++i) {
    double off = 0;
    if (embedded >= 1) {
      off = random.Weibull(kWeibullShape, kScale);
      --embedded;
    } else {
      if (i > 0) off = std::min(random.Pareto(kParetoIndex, kParetoLeast), kMaxThink);
      embedded = floor(random.Pareto(kEmbeddedIndex, 1));
    }
    session->push_back({DrawFile(random), Microseconds(off * options_.off_scale)});
  }
}

double Sampler::MeanRequests() const {
  return options_.single + (1 - options_.single) * kMeanPersistentRequests;
}

double Sampler::MeanOffSeconds() const {
  constexpr int kDraws = 20'000;
  Random random(1);
  Session session;
  double sum = 0;
  for (int i = 0; i < kDraws; ++i) {
    Draw(random, &session);
    for (const Request& request : session) sum += request.off_us;
  }
  return sum / 1e6 / kDraws;
}

}  // namespace load
