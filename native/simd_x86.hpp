// What both sets of x86 do alike with vectors of 32 bytes. Included by each inside its own namespace.

// What a pack of two vectors gives: it takes their halves in turns.
inline __m256i in_order(__m256i packed) { return _mm256_permute4x64_epi64(packed, 0xd8); }

// Twice 16 numbers of 16 bits, none within 128 of their end -> 32 high bytes, 32 low bytes; the sums of each 16.
inline void split_sixteens(__m256i x, __m256i y, std::uint8_t* high, std::uint8_t* low, std::int32_t* sums) {
    auto above = [](__m256i v) { return _mm256_srai_epi16(_mm256_add_epi16(v, _mm256_set1_epi16(128)), 8); };
    auto put = [](std::uint8_t* to, __m256i u, __m256i v) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), in_order(_mm256_packs_epi16(u, v)));
    };
    const __m256i hx = above(x), hy = above(y), one = _mm256_set1_epi16(1);
    put(high, hx, hy);
    put(low, _mm256_sub_epi16(x, _mm256_slli_epi16(hx, 8)), _mm256_sub_epi16(y, _mm256_slli_epi16(hy, 8)));
    const __m256i fours = _mm256_hadd_epi32(_mm256_madd_epi16(x, one), _mm256_madd_epi16(y, one));
    const __m128i twos = _mm_add_epi32(_mm256_castsi256_si128(fours), _mm256_extracti128_si256(fours, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(sums), _mm_hadd_epi32(twos, twos));
}
