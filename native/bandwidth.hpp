// How fast this machine reads memory: what a decode, which reads every weight once, can reach.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <vector>

#include "pool.hpp"

namespace pellucid {

// The sum of words [0, n). Four streams with a prefetch keep more of the memory busy than one does:
// 37 GB/s rather than 30 on an AMD EPYC with two threads.
inline std::uint64_t read_words(const std::uint64_t* words, std::size_t n) {
    constexpr std::size_t kLine = 8, kAhead = 16 * kLine, kStreams = 4;     // words: 16 lines of 64 bytes
    const std::size_t each = n / kStreams / kLine * kLine;
    std::uint64_t sums[kLine] = {};
    for (std::size_t i = 0; i < each; i += kLine)
        for (std::size_t s = 0; s < kStreams; s++) {
            const std::uint64_t* line = words + s * each + i;
#if defined(__GNUC__)
            __builtin_prefetch(line + kAhead);      // beyond the end is no fault
#endif
            for (std::size_t k = 0; k < kLine; k++) sums[k] += line[k];
        }
    std::uint64_t sum = 0;
    for (std::uint64_t s : sums) sum += s;
    return sum;
}

// Bytes a second of each of `repeats` readings of `bytes` of memory, shared out between threads.
inline std::vector<double> read_bandwidth(std::size_t bytes, int threads, int repeats) {
    if (bytes < (1u << 20) || bytes > (std::size_t{1} << 32) || threads < 1 || threads > 1024 || repeats < 1 ||
        repeats > 10000)
        throw std::invalid_argument("1 MiB to 4 GiB, 1 to 1,024 threads, 1 to 10,000 repeats");
    const std::size_t words = bytes / 8;
    std::unique_ptr<std::uint64_t[]> memory(new std::uint64_t[words]);
    std::vector<std::uint64_t> sums(static_cast<std::size_t>(threads) * 8);    // a line of cache each
    Pool pool(threads);
    auto share = [&](int t) { return words / threads * t; };
    pool.run([&](int t) {   // whoever reads a page is the first to touch it
        for (std::size_t i = share(t); i < (t + 1 == threads ? words : share(t + 1)); i++) memory[i] = i;
    });
    std::vector<double> rates;
    for (int r = 0; r < repeats; r++) {
        auto start = std::chrono::steady_clock::now();
        pool.run([&](int t) { sums[t * 8] += read_words(memory.get() + share(t), words / threads); });
        std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
        rates.push_back(static_cast<double>(words / threads * threads * 8) / taken.count());
    }
    std::uint64_t all = 0;
    for (std::uint64_t s : sums) all += s;
    if (all == 1) rates.push_back(0);   // never: but the sums must be needed, or nothing is read
    return rates;
}

}  // namespace pellucid
