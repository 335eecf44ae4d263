<?php
// Stores and reads values by the extension memcached: `values.php php HOST PORT`, and lines `set|get KEY KIND HEX`.
if (!class_exists('Memcached')) {
    echo "missing: the extension memcached\n";
    exit;
}
$client = new Memcached();
// What it is unless set depends on how the extension was built.
$client->setOption(Memcached::OPT_SERIALIZER, Memcached::SERIALIZER_PHP);
$client->addServer($argv[2], (int) $argv[3]);
$at = 0;
while (($line = fgets(STDIN)) !== false) {
    [$verb, $key, $kind, $hex] = explode(' ', rtrim($line, "\n"));
    $data = hex2bin($hex);
    $value = match ($kind) {
        'int' => (int) $data,
        'float' => (float) $data,
        'bool' => $data === '1',
        'list' => [$data],
        default => $data,
    };
    if ($verb === 'set') {
        $type = $at++ % 2 ? Memcached::COMPRESSION_ZLIB : Memcached::COMPRESSION_FASTLZ;
        $client->setOption(Memcached::OPT_COMPRESSION_TYPE, $type);
        $client->set($key, $value) or exit("$key: " . $client->getResultMessage() . "\n");
    } elseif (($read = $client->get($key)) !== $value) {
        exit("$key $kind: " . var_export($read, true) . ' ' . var_export($value, true) . "\n");
    }
}
echo "done\n";
