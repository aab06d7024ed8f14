#include "bench/load/sampler.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "bench/load/file_set.h"

namespace load {
namespace {

constexpr int kSessions = 100'000;

struct Drawn {
  std::vector<Session> sessions;
  std::vector<uint32_t> files;
  size_t singles = 0;
};

Drawn Draw(const SamplerOptions& options, uint64_t seed = 1) {
  Drawn drawn;
  Sampler sampler(options);
  Random random(seed);
  for (int i = 0; i < kSessions; ++i) {
    Session session;
    sampler.Draw(random, &session);
    for (const Request& request : session) drawn.files.push_back(request.file);
    drawn.singles += session.size() == 1;
    drawn.sessions.push_back(std::move(session));
  }
  return drawn;
}

TEST(Sampler, ASeedDrawsTheSameAlways) {
  Drawn first = Draw({}, 7), second = Draw({}, 7), other = Draw({}, 8);
  EXPECT_EQ(first.files, second.files);
  EXPECT_NE(first.files, other.files);
  // What is drawn must not change unnoticed: results would no longer compare.
  EXPECT_EQ(PathOf(Draw({}, 1).files[0]), "/dir00013/class0_5");
}

TEST(Sampler, SessionsHave5To15RequestsOrOne) {
  Drawn drawn = Draw({.single = 0.3});
  std::map<size_t, int> lengths;
  for (const Session& session : drawn.sessions) ++lengths[session.size()];
  ASSERT_EQ(lengths.size(), 12u);
  for (auto [length, count] : lengths) {
    if (length == 1) {
      EXPECT_NEAR(count, 0.3 * kSessions, 500);
    } else {
      EXPECT_GE(length, 5u);
      EXPECT_LE(length, 15u);
      EXPECT_NEAR(count, 0.7 / 11 * kSessions, 350) << length;
    }
  }
  EXPECT_NEAR(static_cast<double>(drawn.files.size()) / kSessions,
              Sampler({.single = 0.3}).MeanRequests(), 0.05);
}

TEST(Sampler, ClassesComeAsInSpecweb99) {
  Drawn drawn = Draw({});
  double counts[kClasses] = {};
  for (uint32_t file : drawn.files) ++counts[SizeIndex(file) / kFilesPerClass];
  const auto all = static_cast<double>(drawn.files.size());
  EXPECT_NEAR(counts[0] / all, 0.35, 0.002);
  EXPECT_NEAR(counts[1] / all, 0.50, 0.002);
  EXPECT_NEAR(counts[2] / all, 0.14, 0.002);
  EXPECT_NEAR(counts[3] / all, 0.01, 0.0005);
}

TEST(Sampler, FilesOfAClassAreZipfInTheirOrder) {
  Drawn drawn = Draw({});
  double counts[kFilesPerClass + 1] = {};
  for (uint32_t file : drawn.files) ++counts[file % kFilesPerClass + 1];
  const auto all = static_cast<double>(drawn.files.size());
  constexpr double kHarmonic = 2.8289682539682537;  // of 9
  constexpr int kOrder[] = {5, 4, 6, 3, 7, 2, 8, 9, 1};
  for (int rank = 1; rank <= 9; ++rank) {
    EXPECT_NEAR(counts[kOrder[rank - 1]] / all, 1 / (rank * kHarmonic), 0.002) << rank;
  }
}

TEST(Sampler, DirectoriesAreZipf) {
  Drawn drawn = Draw({.directories = 100});
  std::vector<double> counts(100);
  for (uint32_t file : drawn.files) ++counts.at(file / kFilesPerDirectory);
  double harmonic = 0;
  for (int rank = 1; rank <= 100; ++rank) harmonic += 1.0 / rank;
  const auto all = static_cast<double>(drawn.files.size());
  for (int rank : {1, 2, 3, 10, 50, 100}) {
    double expected = 1 / (rank * harmonic);
    EXPECT_NEAR(counts[static_cast<size_t>(rank) - 1] / all, expected, 0.05 * expected) << rank;
  }
}

TEST(Sampler, OffTimesHaveThePapersMeans) {
  Random random(1);
  // The distributions themselves, by the parameters that the header states.
  double weibull = 0, pareto = 0;
  for (int i = 0; i < 400'000; ++i) {
    weibull += random.Weibull(1.46, kMeanActiveOff / 0.905896);
    pareto += std::min(random.Pareto(1.5, 1.15013), kMaxThink);
  }
  EXPECT_NEAR(weibull / 400'000, 0.343, 0.002);
  EXPECT_NEAR(pareto / 400'000, 3.0, 0.03);
  // And what comes out of sessions: below the least think time it is an active off-time, but for
  // the few that are longer.
  double active = 0, think = 0;
  int actives = 0, thinks = 0;
  for (const Session& session : Draw({}).sessions) {
    EXPECT_EQ(session[0].off_us, 0u);
    for (size_t i = 1; i < session.size(); ++i) {
      double off = session[i].off_us / 1e6;
      EXPECT_LE(off, kMaxThink);
      off < 1.15013 ? (active += off, ++actives) : (think += off, ++thinks);
    }
  }
  EXPECT_NEAR(active / actives, 0.34, 0.01);
  EXPECT_NEAR(think / thinks, 3.0, 0.1);
}

TEST(Sampler, APageIsOneRequestAndWhatIsEmbedded) {
  double pages = 0, requests = 0;
  for (const Session& session : Draw({.single = 0}).sessions) {
    requests += static_cast<double>(session.size());
    for (size_t i = 0; i < session.size(); ++i) pages += i == 0 || session[i].off_us > 1'150'000;
  }
  // 1 + zeta(2.43) = 2.36 requests, less because sessions end within pages.
  EXPECT_NEAR(requests / pages, 2.14, 0.03);
}

TEST(Sampler, OffScaleScalesEveryOffTime) {
  Drawn paper = Draw({.off_scale = 1}), scaled = Draw({.off_scale = 0.25});
  ASSERT_EQ(paper.files, scaled.files);
  for (size_t i = 0; i < 1000; ++i) {
    for (size_t k = 0; k < paper.sessions[i].size(); ++k) {
      EXPECT_NEAR(scaled.sessions[i][k].off_us, paper.sessions[i][k].off_us * 0.25, 1);
    }
  }
  EXPECT_NEAR(Sampler({.off_scale = 0.25}).MeanOffSeconds(), Sampler({}).MeanOffSeconds() / 4,
              1e-4);
}

}  // namespace
}  // namespace load
