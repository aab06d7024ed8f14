// Whether a run may be compared with others: the rules of Pariag et al., EuroSys 2007, section 3.4.
//
// A server may let clients time out, but not those of some file sizes more than others:
//  - no size's requests time out more than 2 points above the mean of all;
//  - no size's time out above 5 %;
//  - at most 10 % of all requests are not served: time-outs, and connections refused, reset or
//    closed early, since a server must not get by by failing faster, and what had not ended when
//    the run did;
// and what is served is right: no wrong status or body. Nor may the generator have refused anybody.
//
// A size that was asked for a few dozen times is above a limit by chance now and then. A size fails
// where so many time-outs would come in less than one run of 1,000 if its true rate were the limit.
// `strict` tells whether the limits hold for the bare fractions, too; with many requests both
// agree.
#ifndef BOBBIN_BENCH_LOAD_VERIFICATION_H_
#define BOBBIN_BENCH_LOAD_VERIFICATION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "bench/load/tally.h"

namespace load {

struct Verification {
  bool passed = false;
  bool strict = false;
  std::vector<std::string> why;  // one line for each rule that is broken
};

Verification Verify(const WindowTally& window);

// Returns: the probability of `count` or more successes in `tries`, each with probability p.
double BinomialTail(uint64_t tries, uint64_t count, double p);

}  // namespace load

#endif  // BOBBIN_BENCH_LOAD_VERIFICATION_H_
