#include "runtime/inbox.h"

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace bobbin {
namespace {

struct Numbered : InboxMessage {
  int sender = 0;
  int number = 0;
};

TEST(Inbox, TakeOfAnEmptyInboxReturnsNull) {
  Inbox inbox;
  EXPECT_TRUE(inbox.Empty());
  EXPECT_EQ(inbox.Take(), nullptr);
}

// I1
TEST(Inbox, TakeReturnsEverythingOldestFirst) {
  Inbox inbox;
  InboxMessage messages[5];
  for (InboxMessage& message : messages) inbox.Post(&message);
  EXPECT_FALSE(inbox.Empty());
  InboxMessage* taken = inbox.Take();
  for (InboxMessage& message : messages) {
    ASSERT_EQ(taken, &message);
    taken = taken->next;
  }
  EXPECT_EQ(taken, nullptr);
  EXPECT_TRUE(inbox.Empty());
}

TEST(Inbox, TakenMessageMayBePostedAgain) {
  Inbox inbox;
  InboxMessage first, second;
  inbox.Post(&first);
  inbox.Post(&second);
  inbox.Take();
  inbox.Post(&first);
  EXPECT_EQ(inbox.Take(), &first);
  EXPECT_EQ(first.next, nullptr);
}

// I2
TEST(Inbox, PostReturnsTrueOnlyForTheMessageThatMadeItNonEmpty) {
  Inbox inbox;
  InboxMessage messages[3];
  EXPECT_TRUE(inbox.Post(&messages[0]));
  EXPECT_FALSE(inbox.Post(&messages[1]));
  inbox.Take();
  EXPECT_TRUE(inbox.Post(&messages[2]));
}

TEST(Inbox, MessagesOfManyThreadsArriveOnceInTheOrderOfEachSender) {
  constexpr int kSenders = 4;
  constexpr int kMessages = 5000;
  Inbox inbox;
  std::atomic<int> made_non_empty{0};
  std::vector<std::vector<Numbered>> messages(kSenders, std::vector<Numbered>(kMessages));
  std::vector<std::thread> senders;
  for (int s = 0; s < kSenders; ++s) {
    senders.emplace_back([&, s] {
      for (int i = 0; i < kMessages; ++i) {
        messages[s][i].sender = s;
        messages[s][i].number = i;
        if (inbox.Post(&messages[s][i])) made_non_empty.fetch_add(1);
      }
    });
  }
  int next[kSenders] = {};
  int batches = 0;
  for (int received = 0; received < kSenders * kMessages;) {
    InboxMessage* message = inbox.Take();
    if (message == nullptr) std::this_thread::yield();
    if (message != nullptr) ++batches;
    for (; message != nullptr; message = message->next, ++received) {
      Numbered* numbered = static_cast<Numbered*>(message);
      ASSERT_EQ(numbered->number, next[numbered->sender]++);
    }
  }
  for (std::thread& sender : senders) sender.join();
  EXPECT_TRUE(inbox.Empty());
  EXPECT_EQ(made_non_empty.load(), batches);  // I2: one wake-up a batch
}

}  // namespace
}  // namespace bobbin
