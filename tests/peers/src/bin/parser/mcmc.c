/* Parses the reply in a file by mcmc, as often as the second argument says. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mcmc.h"

static char reply[1 << 16], buffer[1 << 16];

int main(int count, char **arguments) {
    if (count != 3) return 2;
    FILE *file = fopen(arguments[1], "rb");
    if (!file) return 2;
    size_t length = fread(reply, 1, sizeof reply, file), found = 0;
    for (long left = atol(arguments[2]); left > 0; left--) {
        for (size_t at = 0; at < length; at += 1024) memcpy(buffer + at, reply + at, length - at < 1024 ? length - at : 1024);
        for (size_t at = 0; at < length;) {
            mcmc_resp_t r;
            if (mcmc_parse_buf(buffer + at, length - at, &r) != MCMC_OK) return 1;
            if (r.type == MCMC_RESP_META) {
                /* The client flags, which stand among the flags of the reply. */
                mcmc_tokenizer_t tokens = {0};
                uint32_t flags = 1;
                if (mcmc_tokenize_res(buffer + at, r.reslen, &tokens) != MCMC_OK) return 1;
                if (mcmc_token_get_flag_u32(buffer + at, &tokens, 'f', &flags) != MCMC_OK || flags != 0) return 1;
            }
            found += r.vlen_read;
            at += r.reslen + r.vlen_read;
        }
    }
    return found == 0;
}
