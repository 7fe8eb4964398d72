#include "base/random.h"

#include "base/error.h"

#include <math.h>
#include <sys/random.h>

/* c[0] + c[1]·x + … + c[7]·x⁷ */
static double polynomial(const double c[8], double x)
{
    double sum = c[7];
    for (int i = 6; i >= 0; i--)
        sum = sum * x + c[i];
    return sum;
}

/* Coefficients of M. J. Wichura: Algorithm AS 241, The percentage points of the normal distribution,
 * Applied Statistics 37 (1988), routine PPND16. */
static const double centre_above[8] = {
    3.3871328727963666080e0,  1.3314166789178437745e+2, 1.9715909503065514427e+3, 1.3731693765509461125e+4,
    4.5921953931549871457e+4, 6.7265770927008700853e+4, 3.3430575583588128105e+4, 2.5090809287301226727e+3};
static const double centre_below[8] = {1.0,
                                       4.2313330701600911252e+1,
                                       6.8718700749205790830e+2,
                                       5.3941960214247511077e+3,
                                       2.1213794301586595867e+4,
                                       3.9307895800092710610e+4,
                                       2.8729085735721942674e+4,
                                       5.2264952788528545610e+3};
static const double middle_above[8] = {1.42343711074968357734e0,  4.63033784615654529590e0,
                                       5.76949722146069140550e0,  3.64784832476320460504e0,
                                       1.27045825245236838258e0,  2.41780725177450611770e-1,
                                       2.27238449892691845833e-2, 7.74545014278341407640e-4};
static const double middle_below[8] = {1.0,
                                       2.05319162663775882187e0,
                                       1.67638483018380384940e0,
                                       6.89767334985100004550e-1,
                                       1.48103976427480074590e-1,
                                       1.51986665636164571966e-2,
                                       5.47593808499534494600e-4,
                                       1.05075007164441684324e-9};
static const double tail_above[8] = {6.65790464350110377720e0,  5.46378491116411436990e0,
                                     1.78482653991729133580e0,  2.96560571828504891230e-1,
                                     2.65321895265761230930e-2, 1.24266094738807843860e-3,
                                     2.71155556874348757815e-5, 2.01033439929228813265e-7};
static const double tail_below[8] = {1.0,
                                     5.99832206555887937690e-1,
                                     1.36929880922735805310e-1,
                                     1.48753612908506148525e-2,
                                     7.86869131145613259100e-4,
                                     1.84631831751005468180e-5,
                                     1.42151175831644588870e-7,
                                     2.04426310338993978564e-15};

double ix_random_normal(uint64_t bits)
{
    /* The middle of one of 2^52 equal parts: exact in a double, and never 0 or 1. */
    double p = ((double)(bits >> 12) + 0.5) * 0x1p-52;
    double q = p - 0.5;
    if (fabs(q) <= 0.425) {
        double r = 0.180625 - q * q;
        return q * polynomial(centre_above, r) / polynomial(centre_below, r);
    }
    double r = sqrt(-log(q < 0 ? p : 1.0 - p));
    double z = r <= 5.0 ? polynomial(middle_above, r - 1.6) / polynomial(middle_below, r - 1.6)
                        : polynomial(tail_above, r - 5.0) / polynomial(tail_below, r - 5.0);
    return q < 0 ? -z : z;
}

double ix_random_exponential(uint64_t bits)
{
    return -log1p(-ix_random_unit(bits));
}

uint64_t ix_random_system(void)
{
    uint64_t bits;
    ssize_t len;
    do
        len = getrandom(&bits, sizeof(bits), 0);
    while (len < 0 && errno == EINTR);
    IX_REQUIRE(len == sizeof(bits));
    return bits;
}

/* The bits of a place are split in two halves that take turns in changing each other; every round could
 * be undone, so that no two places become one. Places outside [0, n) walk on until they are inside:
 * at most two steps on average, as the power of two is below 2n. */
#define ROUNDS 8

struct feistel {
    uint64_t key;
    int low_bits;
    uint64_t low_mask;
    uint64_t high_mask;
};

static struct feistel feistel_of(uint64_t seed, uint64_t n)
{
    int bits = 64 - __builtin_clzll(n - 1);
    int low = bits - bits / 2;
    return (struct feistel){ix_random_key(seed, n), low, (1ull << low) - 1, (1ull << (bits - low)) - 1};
}

static void feistel_round(const struct feistel *f, int round, uint64_t *low, uint64_t *high)
{
    uint64_t counter = (uint64_t)round << 32;
    if (round & 1)
        *high ^= ix_random_u64(f->key, counter | *low) & f->high_mask;
    else
        *low ^= ix_random_u64(f->key, counter | *high) & f->low_mask;
}

uint64_t ix_permute(uint64_t seed, uint64_t n, uint64_t i)
{
    if (n < 2)
        return 0;
    struct feistel f = feistel_of(seed, n);
    do {
        uint64_t low = i & f.low_mask, high = i >> f.low_bits;
        for (int round = 0; round < ROUNDS; round++)
            feistel_round(&f, round, &low, &high);
        i = high << f.low_bits | low;
    } while (i >= n);
    return i;
}
