#include "knot/codings.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>

namespace knot {
namespace {

CodingSet SetOf(std::initializer_list<Coding> codings) {
  CodingSet set;
  for (Coding coding : codings) set.Add(coding);
  return set;
}

const CodingSet kAll = SetOf({Coding::kBrotli, Coding::kZstd, Coding::kGzip});

std::string Best(absl::string_view field, CodingSet available = kAll) {
  AcceptedCodings accepted;
  accepted.Note(field);
  return std::string(CodingName(accepted.Best(available)));
}

TEST(Codings, WithoutTheFieldAFileIsSentAsItIs) {
  AcceptedCodings accepted;
  EXPECT_FALSE(accepted.any());
  EXPECT_EQ(accepted.Best(kAll), Coding::kIdentity);
  EXPECT_EQ(Best(""), "identity");
}

TEST(Codings, TheClientsWeightsDecide) {  // RFC 9110, 12.4.2
  EXPECT_EQ(Best("gzip"), "gzip");
  EXPECT_EQ(Best("gzip, deflate, br, zstd"), "br");
  EXPECT_EQ(Best("gzip, zstd"), "zstd");
  EXPECT_EQ(Best("gzip;q=1.0, br;q=0.9"), "gzip");
  EXPECT_EQ(Best("gzip;q=0.5, identity;q=0.8"), "identity");
  EXPECT_EQ(Best("gzip;q=0.5, identity;q=0.5"), "gzip");
  EXPECT_EQ(Best("br;q=0.001"), "br");
  EXPECT_EQ(Best("br;q=0"), "identity");
  EXPECT_EQ(Best("br;q=0.000, gzip"), "gzip");
}

TEST(Codings, AStarStandsForTheOthers) {
  EXPECT_EQ(Best("*"), "br");
  EXPECT_EQ(Best("br;q=0, *"), "zstd");
  EXPECT_EQ(Best("gzip, *;q=0"), "gzip");
  EXPECT_EQ(Best("*;q=0"), "identity") << "there is nothing else to send";
  EXPECT_EQ(Best("*;q=0.5, gzip;q=0.4"), "br");
}

TEST(Codings, OnlyWhatThereIsIsChosen) {
  EXPECT_EQ(Best("br, gzip;q=0.1", SetOf({Coding::kGzip})), "gzip");
  EXPECT_EQ(Best("br", SetOf({Coding::kGzip})), "identity");
  EXPECT_EQ(Best("br, gzip, zstd", CodingSet()), "identity");
}

TEST(Codings, NamesAreReadLiberally) {
  EXPECT_EQ(Best("GZIP"), "gzip");
  EXPECT_EQ(Best("x-gzip"), "gzip");
  EXPECT_EQ(Best(" gzip ;\tq=0.5 , ,"), "gzip");
  EXPECT_EQ(Best("gzip;Q=0"), "identity");
  EXPECT_EQ(Best("gzipped, abr, zst"), "identity");
}

TEST(Codings, WhatIsMalformedCountsForNothing) {
  for (const char* field :
       {"gzip;q=", "gzip;q=2", "gzip;q=1.001", "gzip;q=0.0001", "gzip;q=-1", "gzip;q=.5",
        "gzip;q=0,5", "gzip;q=a", "gzip;q=1.", ";q=1", "=", ",;,;"}) {
    std::string best = Best(field);
    EXPECT_TRUE(best == "identity" || std::string(field) == "gzip;q=1.") << field;
  }
  EXPECT_EQ(Best("gzip;q=9, br"), "br");
}

TEST(Codings, LinesAddUp) {
  AcceptedCodings accepted;
  accepted.Note("gzip;q=0.5");
  accepted.Note("br;q=0.4");
  EXPECT_EQ(accepted.Best(kAll), Coding::kGzip);
  EXPECT_TRUE(accepted.any());
}

}  // namespace
}  // namespace knot
