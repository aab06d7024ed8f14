#include "knot/admin/board.h"

#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <memory>
#include <type_traits>

namespace knot {
namespace {

template <typename Part>
using Words = std::array<uint64_t, sizeof(Part) / sizeof(uint64_t)>;

template <typename Part>
Words<Part> ToWords(const Part& part) {
  static_assert(std::is_trivially_copyable_v<Part> && sizeof(Part) % sizeof(uint64_t) == 0);
  return std::bit_cast<Words<Part>>(part);
}

template <typename Part>
void Add(const Part& part, Part* sum) {
  Words<Part> words = ToWords(part), sums = ToWords(*sum);
  for (size_t i = 0; i < words.size(); ++i) sums[i] += words[i];
  *sum = std::bit_cast<Part>(sums);
}

// Some totals are estimates that are refined, or are read from what is not one instant.
void NeverBelow(const Totals& least, Totals* totals) {
  Words<Totals> leasts = ToWords(least), words = ToWords(*totals);
  for (size_t i = 0; i < words.size(); ++i) words[i] = std::max(words[i], leasts[i]);
  *totals = std::bit_cast<Totals>(words);
}

}  // namespace

// Two copies, of which one is published while the other is written: `published` counts, and its
// lowest bit says which. A reader that finds it as it was has read no word of a later publication:
// words are written after it, and it is read after the words.
struct Board::Place {
  struct Copy {
    std::atomic<int64_t> told{0};
    std::array<std::atomic<uint64_t>, sizeof(Statistics) / sizeof(uint64_t)> words{};
  };

  std::atomic<int64_t> asked{0};       // when its process last called Sum
  std::atomic<uint64_t> published{0};  // 0: nothing yet
  Copy copies[2]{};
};

Board::Board(Place* places, size_t count)
    : places_(places), count_(count), start_ns_(MonotonicNs()), start_seconds_(time(nullptr)) {}

std::shared_ptr<Board> Board::Make(int places) {
  static_assert(std::atomic<uint64_t>::is_always_lock_free);
  auto count = static_cast<size_t>(places);
  void* at = mmap(nullptr, sizeof(Place) * count, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) return nullptr;
  auto* first = static_cast<Place*>(at);
  std::uninitialized_value_construct_n(first, count);
  return std::shared_ptr<Board>(new Board(first, count));
}

Board::~Board() { munmap(places_, sizeof(Place) * count_); }

void Board::Take(int place) {
  own_ = static_cast<size_t>(place);
  Statistics before;
  int64_t told;
  if (Read(places_[own_], &before, &told)) base_ = last_ = before.totals;
}

void Board::Publish(const Statistics& statistics, int64_t now) {
  Statistics sum = statistics;
  Add(base_, &sum.totals);
  NeverBelow(last_, &sum.totals);
  last_ = sum.totals;
  Place& place = places_[own_];
  uint64_t number = place.published.load(std::memory_order_relaxed) + 1;
  Place::Copy& copy = place.copies[number % 2];
  Words<Statistics> words = ToWords(sum);
  copy.told.store(now, std::memory_order_release);
  for (size_t i = 0; i < words.size(); ++i) {
    copy.words[i].store(words[i], std::memory_order_release);
  }
  place.published.store(number, std::memory_order_release);
}

// Returns: false where nothing was told.
bool Board::Read(const Place& place, Statistics* statistics, int64_t* told) {
  for (;;) {
    uint64_t number = place.published.load(std::memory_order_acquire);
    if (number == 0) return false;
    const Place::Copy& copy = place.copies[number % 2];
    Words<Statistics> words;
    *told = copy.told.load(std::memory_order_acquire);
    for (size_t i = 0; i < words.size(); ++i) {
      words[i] = copy.words[i].load(std::memory_order_acquire);
    }
    if (place.published.load(std::memory_order_relaxed) != number) continue;
    *statistics = std::bit_cast<Statistics>(words);
    return true;
  }
}

Statistics Board::Sum(int64_t now) {
  places_[own_].asked.store(now, std::memory_order_relaxed);
  Statistics sum;
  for (size_t i = 0; i < count_; ++i) {
    Statistics one;
    int64_t told;
    if (!Read(places_[i], &one, &told)) continue;
    Add(one.totals, &sum.totals);
    if (now - told < kFresh) Add(one.levels, &sum.levels);
  }
  return sum;
}

bool Board::Watched(int64_t now) const {
  return std::any_of(places_, places_ + count_, [now](const Place& place) {
    int64_t asked = place.asked.load(std::memory_order_relaxed);
    return asked != 0 && now - asked < kFresh;
  });
}

}  // namespace knot
