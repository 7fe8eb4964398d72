/* A program that does nothing, linked to the same libraries as iotix: what a start costs at least. */
int main(void)
{
    return 0;
}
